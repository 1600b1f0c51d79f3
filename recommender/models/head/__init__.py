"""A prediction head: dense layers over the vectors of two towers that put the best candidates in order anew."""

"""What scores rest on: how much each named input of a model adds to the score of a pair."""

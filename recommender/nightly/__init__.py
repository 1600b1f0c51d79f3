"""A night's training: what is fitted on which data, from where it goes on, which kind wins, how it is kept."""

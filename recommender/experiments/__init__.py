"""Experiments: a challenger's lists against the champion's, on the users themselves."""

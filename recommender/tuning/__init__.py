"""The search for better settings: trials in a study that outlives its process, scored on the validation days alone."""

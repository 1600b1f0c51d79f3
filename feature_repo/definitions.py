"""What `feast -c feature_repo apply` registers: built from the profile in force, nothing is declared here."""

from recommender.config.settings import load_settings
from recommender.features.feast_objects import definitions

_settings = load_settings()
# Feast looks for its objects among a module's variables
globals().update({built.name: built for built in definitions(_settings.profile, _settings.lake)})

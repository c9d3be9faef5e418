"""The main job, shown: deploy, send, run the day, judge it against the truth, draw the page."""

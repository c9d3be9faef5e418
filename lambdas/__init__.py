"""Functions that run on AWS Lambda, one file each."""

"""Say how probable it is that an arm is better, and what choosing it may cost."""

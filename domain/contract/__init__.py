"""What follows from the declarations: schemas, docs, fake data, and a check that contracts only grow."""

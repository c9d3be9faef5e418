"""What runs in SageMaker's containers."""

"""A study for other programs: MLflow, TensorBoard, W&B, the scorer of the ISIC challenges."""

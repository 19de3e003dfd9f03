"""What is measured on a model: attention, recognition, reconstruction, information, cost."""

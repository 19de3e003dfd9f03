"""What watches a training: hooks of mmengine's Runner."""

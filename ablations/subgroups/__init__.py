"""`report --by`: figures by subgroup of the test images, and whether arms differ between them."""

"""Small networks as recipes, with seeded random weights and data: one for each family the product supports."""

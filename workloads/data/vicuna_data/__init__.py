"""Conversations as people shared them → the training and validation sets of a chat model."""

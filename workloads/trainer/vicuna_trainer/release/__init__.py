"""Delta weights: a model published as its difference from a base model that everybody gets from its own publisher.

python3 -m vicuna_trainer.release make|apply|verify --help
"""

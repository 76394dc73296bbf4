"""The vocabulary of kinema: contract, configuration, results, errors. Imports nothing of ours."""

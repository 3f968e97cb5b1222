"""What operators and auditors do beside the periodic run, and how they see that it is well."""

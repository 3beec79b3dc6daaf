"""The endpoints of the API and of the storage, one file for each noun."""

"""No test reaches the Hub: those that talk to one set up a stand-in, in processes of their own."""

import os


def pytest_configure() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported, which reads it then

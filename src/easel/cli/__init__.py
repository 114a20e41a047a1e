"""The command line: argparse and nothing else."""

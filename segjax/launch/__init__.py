"""Starting the processes of a run: on this machine, or as a SLURM job."""

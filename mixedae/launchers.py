"""What each launcher gives to its processes: train.py refuses a launcher whose variables are not there."""

LAUNCHERS = {
    "pytorch": (("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"), "torchrun (tools/dist_train.sh)"),
    "slurm": (("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST"), "srun (tools/slurm_train.sh)"),
    "mpi": (("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"), "mpirun"),
}
"""Name to the variables and to the command that sets them."""

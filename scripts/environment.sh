# shellcheck shell=sh
# What Open MPI needs on a laptop, in a container and as root. Sourced, never run: by the scripts, and
# by those whose shell need not be bash. A variable that is already set stays as it is.

default_env() { eval "[ -n \"\${$1+set}\" ]" || export "$1=$2"; }

if [ "$(id -u)" = 0 ]; then
  default_env OMPI_ALLOW_RUN_AS_ROOT 1
  default_env OMPI_ALLOW_RUN_AS_ROOT_CONFIRM 1
fi

# More ranks than cores is allowed; then a waiting rank lets the others run.
default_env OMPI_MCA_rmaps_base_oversubscribe 1
default_env OMPI_MCA_mpi_yield_when_idle 1

# Tutti places its threads itself (runtime/topology); bound to one core they could not spread.
default_env OMPI_MCA_hwloc_base_binding_policy none

# mpirun refuses to start where there is no ssh, even for ranks of this machine alone.
if ! command -v ssh >/dev/null && ! command -v rsh >/dev/null; then
  default_env OMPI_MCA_plm_rsh_agent false
fi

# Large messages between ranks are read with process_vm_readv; some containers forbid the call,
# and Open MPI finds out too late. So it is tried here, on this process itself.
can_read_memory() {
  perl -e '
    my $number = {x86_64 => 310, aarch64 => 270, ppc64le => 351}->{$ARGV[0]} or exit 1;
    my ($from, $to) = ("memory", "------");
    my ($local, $remote) = map { pack "Q2", unpack("Q", pack "P", $_), 6 } $to, $from;
    exit(syscall($number, $$ + 0, $local, 1, $remote, 1, 0) == 6 && $to eq $from ? 0 : 1);
  ' "$(uname -m)" 2>/dev/null
}
if ! can_read_memory; then
  default_env OMPI_MCA_btl_vader_single_copy_mechanism none
fi

#!/bin/bash
# Makes a bundle of what is built and runs it where the system has nothing but a C library and a
# shell: version, and shard, index and search on two ranks, which find what the build itself finds;
# once with the system's C library and once with the bundle's own.
#
#   bundle_test.sh SOURCE BUILD
#
# Exit code 77: a tool is missing here, or namespaces are not allowed.
set -euo pipefail
source=$1
build=$2

for tool in patchelf readelf strip unshare chroot python3; do
  command -v "$tool" >/dev/null || { echo "no $tool" && exit 77; }
done
unshare --map-root-user --mount true 2>/dev/null || { echo "no namespaces" && exit 77; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root
mkdir -p "$root"/{bin,lib64,lib,etc,tmp,proc,sys,dev,opt,job}

# It must not matter where it was made.
"$source/scripts/bundle" --build "$build" --output "$folder/made/tutti" --slim --no-archive
mv "$folder/made/tutti" "$root/opt/moved"

# A system of a shell, what the launcher calls, and the libraries of these.
cp -L /etc/passwd "$root/etc/"
for tool in sh sed cat dirname basename readlink getconf env false id rm uname; do
  file=$(readlink -f "$(type -P "$tool")")
  cp -L "$file" "$root/bin/$tool"
  ldd "$file" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
    mkdir -p "$root${library%/*}"
    [[ -e $root$library ]] || cp -L "$library" "$root$library"
  done
done

# The rest of the C library.
c_library=$(ldd "$build/jobs/tutti" | awk '$1 == "libc.so.6" { print $3 }')
for name in libm.so.6 libmvec.so.1 libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1 libresolv.so.2; do
  [[ ! -e ${c_library%/*}/$name ]] || cp -L "${c_library%/*}/$name" "$root${c_library%/*}/"
done

python3 - "$root/job" <<'END'
import random, struct, sys
random.seed(7)
for name, rows in (("base", 600), ("queries", 20)):
    with open(f"{sys.argv[1]}/{name}.fvecs", "wb") as out:
        for _ in range(rows):
            out.write(struct.pack("<i16f", 16, *(random.gauss(0, 1) for _ in range(16))))
END
printf '[input]\npaths = ["base.fvecs"]\n' >"$root/job/vectors.toml"
printf 'vectors = "vectors"\nindex.nlist = 8\nkmeans.iterations = 3\n' >"$root/job/index.toml"
printf 'index = "index"\nquery.file = "queries.fvecs"\nsearch.nprobe = 3\n' >"$root/job/search.toml"
cat >"$root/job/run" <<'END'
set -e
cd /job
rm -rf vectors index search
/opt/moved/bin/tutti --version
for job in shard index search; do
  config=$job
  [ $job != shard ] || config=vectors
  /opt/moved/bin/mpirun -n 2 /opt/moved/bin/tutti $job $config.toml
done
END

run_inside() {
  unshare --map-root-user --mount --pid --fork --kill-child bash -c '
    set -e
    mount --rbind /dev "$0/dev"
    mount --rbind /sys "$0/sys"
    mount -t proc proc "$0/proc" 2>/dev/null || mount --rbind /proc "$0/proc"
    exec chroot "$0" /bin/env -i PATH=/bin HOME=/ /bin/sh /job/run' "$root"
}

digest() { # RESULT
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["neighbors_digest"])' "$1"
}

run_inside
with_system=$(digest "$root/job/search/result.json")
echo 999.0 >"$root/opt/moved/lib/glibc/version"
run_inside
with_own=$(digest "$root/job/search/result.json")
(cd "$root/job" && "$build/jobs/tutti" search search.toml --run here >/dev/null)
expected=$(digest "$root/job/here/result.json")
[[ $with_system == "$expected" && $with_own == "$expected" ]] ||
  { echo "neighbours differ: $with_system, $with_own, $expected" && exit 1; }
[[ $("$source/scripts/bundle" --build "$build" --output "$source" 2>&1) == *"is no bundle" ]] ||
  { echo "a folder that is no bundle was not refused" && exit 1; }
echo "bundle_test: the same neighbours, $expected"

#!/bin/bash
# The first process of a machine for a trial, in namespaces of its own: ROOT is an empty folder, what is written there goes
# with the machine. The system's programs and PostgreSQL's cluster are this machine's; nothing else of it is there, no network.
set -eu
root=$1 bundle=$2
mount --make-rprivate /
mount -t tmpfs -o size=6g,mode=755 machine "$root"
mkdir "$root"/{changes,work,root}
mount -t overlay machine -o "lowerdir=/,upperdir=$root/changes,workdir=$root/work" "$root/root"
cp "$bundle" "$root/bundle.tar.gz"
cd "$root/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if [ -d /sys/fs/cgroup/systemd ]; then
    mount -t tmpfs cgroup sys/fs/cgroup
    mkdir sys/fs/cgroup/{systemd,unified}
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup sys/fs/cgroup/unified
else
    mount -t cgroup2 cgroup sys/fs/cgroup
fi
mount -t tmpfs -o mode=755 dev dev
for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"; done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 pts dev/pts
mount -t tmpfs shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${number#*:}" "dev/${number%:*}"; done
for folder in run tmp root opt home mnt srv; do mount -t tmpfs -o mode=755 "$folder" "$folder"; done
chmod 1777 tmp
: > etc/machine-id
for unit in systemd-udevd systemd-logind systemd-networkd systemd-timesyncd getty@tty1 console-getty postgresql; do
    ln -sf /dev/null "etc/systemd/system/$unit.service"
done
ip link set lo up
mv "$root/bundle.tar.gz" "root/$(basename "$bundle")"
mkdir -p data/site/raw mnt/before
pivot_root . mnt/before
umount -l /mnt/before
rm /etc/systemd/system/postgresql.service
# systemd takes a machine in namespaces for a container, and leaves this to whoever started that; credentials need it.
mount --make-rshared /
container=trial exec /lib/systemd/systemd --system --unit=multi-user.target < /dev/null > /dev/null 2>&1

# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# shellcheck shell=sh
#
# Virtual machines with Debian's kernel and an initramfs of ours, for programs
# of sh that include this file.  They define
#
#   dir             Where state lives.
#   modules         The kernel modules that the initramfs needs.
#   say, unavailable
#                   Functions that print their arguments, the latter of them to
#                   give up.
#
# and call check_vm_requirements, find_kernel, unpack_kernel, then make a tree
# with an init that prints ": ready" and powers off if $vm_probe is set, call
# copy_modules and pack_initramfs, and at last choose_accel.  QEMU's options are
# "$accel_options -kernel $image -initrd $dir/initramfs.cpio" then.

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ovs-rdma-lab
kernel=                 # Holds boot/vmlinuz-* and lib/modules.
accel=                  # "kvm", "tcg" or what works.
kvm_limit=15            # Seconds.

need_program() {        # PROGRAM PACKAGE
    command -v "$1" > /dev/null ||
        unavailable "$1 not found (Debian package $2)"
}

check_vm_requirements() {
    need_program qemu-system-x86_64 qemu-system-x86
    need_program cpio cpio
    need_program depmod kmod
    need_program xz xz-utils
    case $(ldd /bin/busybox 2>&1) in
        *"not a dynamic"*) ;;
        *) unavailable "/bin/busybox is not static" \
            "(Debian package busybox-static)" ;;
    esac
}

kernel_release() {      # DIR -> the newest release it has in full, if any.
    for image in "$1"/boot/vmlinuz-*; do
        release=${image##*/vmlinuz-}
        if [ -d "$1/lib/modules/$release/kernel/drivers/infiniband" ]; then
            echo "$release"
        fi
    done | sort -V | tail -n 1
}

fetch_kernel() {
    need_program apt-get apt
    package=$(apt-cache depends linux-image-amd64 |
        sed -n '/Depends: linux-image-/{s/.*: //p;q;}')
    [ "$package" ] || unavailable "no kernel in /boot and none to fetch" \
        "(Debian package linux-image-amd64)"
    say "fetching $package"
    mkdir -p "$cache/fetch"
    (cd "$cache/fetch" && apt-get -q download "$package" &&
        dpkg -x "$package"_*.deb .) > "$cache/fetch.log" 2>&1 ||
        unavailable "cannot fetch $package, see $cache/fetch.log" \
            "(Debian package linux-image-amd64)"
    rm -f "$cache"/fetch/*.deb
    mv -T "$cache/fetch" "$cache/kernel"
}

find_kernel() {
    if [ "$kernel" ]; then
        [ "$(kernel_release "$kernel")" ] ||
            unavailable "no kernel in $kernel (Debian package linux-image-amd64)"
    elif [ "$(kernel_release "")" ]; then
        kernel=
    else
        kernel=$cache/kernel
        [ "$(kernel_release "$kernel")" ] || fetch_kernel
    fi
    release=$(kernel_release "$kernel")
    [ -e "$kernel/lib/modules/$release/modules.dep" ] ||
        depmod -b "${kernel:-/}" "$release" ||
        unavailable "no modules.dep in $kernel/lib/modules/$release" \
            "(Debian package kmod)"
}

# Prints the offset in FILE of each place where an xz stream begins.
xz_streams() {          # FILE
    LC_ALL=C grep -abo "$(printf '\3757zXZ')" "$1" | cut -d : -f 1
}

# Unpacks the kernel, which takes emulated processors seconds in each boot.
unpack_kernel() {
    image=$cache/vmlinux-$release
    [ ! -s "$image" ] || return 0
    compressed=$kernel/boot/vmlinuz-$release
    for offset in $(xz_streams "$compressed"); do
        tail -c +$((offset + 1)) "$compressed" | xz -dcqq > "$image.new" || :
        if head -c 4 "$image.new" | grep -q ELF; then
            mv "$image.new" "$image"
            return
        fi
    done
    rm -f "$image.new"
    image=$compressed
}

# Prints the files of our modules, each after what it depends on.
list_modules() {
    for module in $modules; do
        modprobe -d "${kernel:-/}" -S "$release" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# Copies our modules to TREE, and to TREE/modules their order.
copy_modules() {        # TREE
    list_modules > "$dir/modules"
    xargs cp -t "$1" < "$dir/modules"
    find "$1" -name '*.ko.xz' -exec xz -d {} +
    sed 's,.*/,/,; s,\.xz$,,' "$dir/modules" > "$1/modules"
}

# Turns TREE into an initramfs.
pack_initramfs() {      # TREE
    (cd "$1" && find . | cpio --quiet -o -H newc) > "$dir/initramfs.cpio"
    rm -r "$1"
}

# /dev/kvm may exist and work, fail or hang: only a boot can tell.
kvm_works() {
    [ -w /dev/kvm ] || return 1
    say "trying KVM for at most $kvm_limit s"
    timeout -k 1 "$kvm_limit" qemu-system-x86_64 -accel kvm -cpu host -m 512 \
        -nodefaults -display none -no-reboot -serial stdio \
        -kernel "$image" -initrd "$dir/initramfs.cpio" \
        -append "console=ttyS0 quiet panic=-1 vm_probe=yes" < /dev/null 2>&1 |
        grep -q ': ready'
}

choose_accel() {
    answer=$cache/accel-$(uname -r)
    if [ -z "$accel" ] && [ -e "$answer" ]; then
        accel=$(cat "$answer")
    elif [ -z "$accel" ]; then
        accel=tcg
        if kvm_works; then accel=kvm; fi
        echo $accel > "$answer"
    fi
    case $accel in
        kvm) accel_options="-accel kvm -cpu host" ;;
        tcg) accel_options="-accel tcg,thread=multi -cpu Nehalem,+rdrand" ;;
        *) die "$accel: neither kvm nor tcg" ;;
    esac
}

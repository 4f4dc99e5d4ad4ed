# SPDX-License-Identifier: Apache-2.0

# RDMA_NEED(WHAT, DEBIAN-PACKAGE, FEDORA-PACKAGE)
#
# Stops with one line that says what is missing and which package has it.
AC_DEFUN([RDMA_NEED],
  [AC_MSG_ERROR([$1: install the Debian package $2 or the Fedora package $3])])

# RDMA_CHECK_PROG(VARIABLE, PROGRAM, DEBIAN-PACKAGE, FEDORA-PACKAGE)
AC_DEFUN([RDMA_CHECK_PROG],
  [AC_PATH_PROG([$1], [$2])
   if test -z "$$1"; then
       RDMA_NEED([$2 was not found], [$3], [$4])
   fi])

# RDMA_CHECK_LIB(PKG-CONFIG-MODULE, MINIMUM, DEBIAN-PACKAGE, FEDORA-PACKAGE)
AC_DEFUN([RDMA_CHECK_LIB],
  [AC_MSG_CHECKING([for $1 >= $2])
   rdma_version=`$PKG_CONFIG --modversion $1 2>/dev/null`
   AC_MSG_RESULT([${rdma_version:-no}])
   if test -z "$rdma_version"; then
       RDMA_NEED([$1 >= $2 was not found], [$3], [$4])
   fi
   if $PKG_CONFIG --atleast-version=$2 $1; then :; else
       RDMA_NEED([$1 $rdma_version is too old, $2 or later is needed],
                 [$3], [$4])
   fi])

# RDMA_CHECK_GNU_MAKE
#
# OVS's build is extended by a GNUmakefile, which only GNU make reads.
AC_DEFUN([RDMA_CHECK_GNU_MAKE],
  [AC_MSG_CHECKING([whether ${MAKE-make} is GNU make])
   case `${MAKE-make} --version 2>/dev/null` in #(
       *GNU*) AC_MSG_RESULT([yes]) ;; #(
       *) AC_MSG_RESULT([no])
          RDMA_NEED([GNU make was not found], [make], [make]) ;;
   esac])

# RDMA_CHECK_OVS(MINIMUM)
#
# Finds the OVS source, a directory or a tarball, and checks its version.
# Sets OVS_SOURCE, OVS_VERSION and OVS_SOURCE_STAMP, the file whose change
# means that the source has changed.
AC_DEFUN([RDMA_CHECK_OVS],
  [AC_ARG_WITH([ovs-source],
     [AS_HELP_STRING([--with-ovs-source=DIR|TARBALL],
        [Open vSwitch source, $1 or later
         (default: what Debian's openvswitch-source installs)])],
     [], [with_ovs_source=])
   AC_MSG_CHECKING([for Open vSwitch source >= $1])
   OVS_SOURCE=
   for rdma_try in ${with_ovs_source:-/usr/src/openvswitch/openvswitch.tar.gz \
                                      /usr/src/openvswitch}; do
       if test -f "$rdma_try"; then
           rdma_ac=`tar -tf "$rdma_try" 2>/dev/null \
                    | $GREP '^\(\./\)*@<:@^/@:>@*/configure\.ac$'`
           OVS_VERSION=`tar -xOf "$rdma_try" "$rdma_ac" 2>/dev/null \
                        | $SED -n ['s/^AC.INIT(openvswitch, *\([^,]*\),.*/\1/p']`
           OVS_SOURCE_STAMP=$rdma_try
       else
           OVS_VERSION=`$SED -n ['s/^AC.INIT(openvswitch, *\([^,]*\),.*/\1/p'] \
                        "$rdma_try/configure.ac" 2>/dev/null`
           OVS_SOURCE_STAMP=$rdma_try/configure.ac
       fi
       if test -n "$OVS_VERSION"; then
           OVS_SOURCE=$rdma_try
           break
       fi
   done
   if test -z "$OVS_SOURCE"; then
       AC_MSG_RESULT([no])
       if test -n "$with_ovs_source"; then
           AC_MSG_ERROR(m4_normalize([$with_ovs_source holds no Open vSwitch
             source: give --with-ovs-source a directory or a tarball, or
             install the Debian package openvswitch-source or the Fedora
             source package openvswitch]))
       fi
       RDMA_NEED([the Open vSwitch source >= $1 was not found],
                 [openvswitch-source],
                 m4_normalize([openvswitch (dnf download --source openvswitch)
                   and point --with-ovs-source at its tarball]))
   fi
   AC_MSG_RESULT([$OVS_VERSION, $OVS_SOURCE])
   AS_VERSION_COMPARE([$OVS_VERSION], [$1],
     [RDMA_NEED(
        [Open vSwitch $OVS_VERSION in $OVS_SOURCE is too old, $1 or later is needed],
        [openvswitch-source], [openvswitch (dnf download --source openvswitch)])])
   if test -f "$OVS_SOURCE/config.status"; then
       AC_MSG_ERROR(m4_normalize([$OVS_SOURCE is configured in place: run
         "make distclean" there first]))
   fi
   case $OVS_SOURCE in #(
       /*) ;; #(
       *) OVS_SOURCE=`pwd`/$OVS_SOURCE OVS_SOURCE_STAMP=`pwd`/$OVS_SOURCE_STAMP ;;
   esac
   AC_SUBST([OVS_SOURCE])
   AC_SUBST([OVS_SOURCE_STAMP])
   AC_SUBST([OVS_VERSION])])

# RDMA_OVS_ARGS
#
# Sets OVS_CONFIGURE_ARGS to what our own configure was given, quoted for a
# shell, without the options that are ours alone.
AC_DEFUN([RDMA_OVS_ARGS],
  [OVS_CONFIGURE_ARGS=" --enable-silent-rules"
   eval "set x $ac_configure_args"
   shift
   for rdma_arg; do
       case $rdma_arg in #(
           --with-ovs-source=* | --enable-Werror* | --disable-Werror | \
           --srcdir=* | --cache-file=* | --config-cache | -C | \
           --with-dpdk* | --no-create | --no-recursion | --silent | \
           --enable-option-checking* | --disable-option-checking)
               continue ;;
       esac
       AS_VAR_APPEND([OVS_CONFIGURE_ARGS],
         [" '`AS_ECHO(["$rdma_arg"]) | $SED "s/'/'\\\\\\\\''/g"`'"])
   done
   AS_VAR_APPEND([OVS_CONFIGURE_ARGS], [" --with-dpdk=shared"])
   AC_SUBST([OVS_CONFIGURE_ARGS])])

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# purity.sh OBJDIR [DIRECTORY]
#
# Holds daemon/think to its promise: no I/O, clock, environment, logging, static state. OBJDIR is where make put its
# objects (build); DIRECTORY is the top of the tree (default: the one that this script is in). Build without a
# sanitizer: those add names and data of their own.
#
#   - linked together (ld -r), the objects ask for no names but those below;
#   - only config*.o allocates;
#   - none has data that can be written: .data and .bss are empty (.data.rel.ro holds constant tables of pointers);
#   - the sources include nothing but think/, the headers of C that touch no world, and ini.h.
#
# Exit status: 0, or 1 with the names that offend, one to a line.
set -eu

[ $# -eq 1 ] || [ $# -eq 2 ] || { echo "usage: $0 OBJDIR [DIRECTORY]" >&2; exit 2; }
objects=$1/daemon/think
top=${2:-$(dirname "$0")/..}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# Text and numbers in memory, and what the compiler makes of them: hardened names, division of 128 bits.
cat > "$work/allowed" <<'END'
_GLOBAL_OFFSET_TABLE_
__divti3
__errno_location
__isoc23_sscanf
__isoc23_strtol
__isoc23_strtoull
__isoc99_sscanf
__libc_current_sigrtmax
__libc_current_sigrtmin
__memcpy_chk
__snprintf_chk
__sprintf_chk
__stack_chk_fail
__strcat_chk
__strcpy_chk
__udivti3
__umodti3
__vsnprintf_chk
bcmp
fnmatch
ini_parse_stream
memchr
memcmp
memcpy
memmem
memmove
memrchr
memset
rawmemchr
sigabbrev_np
snprintf
sscanf
strcasecmp
strchr
strchrnul
strcmp
strcpy
strcspn
strlen
strncasecmp
strncat
strncmp
strncpy
strnlen
strpbrk
strrchr
strspn
strstr
strtol
strtoul
strtoull
vsnprintf
END
printf '%s\n' malloc calloc realloc reallocarray free strdup strndup > "$work/allocators"

complain()
{
        echo "$1" >&2
        failed=1
}

# Every source has its object, and no object is left over from a source that is gone.
set --
for source in "$top"/daemon/think/*.c; do
        object=$objects/$(basename "$source" .c).o
        [ -e "$object" ] || { complain "$object: not there; build first"; continue; }
        set -- "$@" "$object"
done
[ $failed -eq 0 ] || exit 1

ld -r -o "$work/think.o" "$@"
nm -u "$work/think.o" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u > "$work/wanted"
sort -u "$work/allowed" "$work/allocators" > "$work/all"
for name in $(comm -23 "$work/wanted" "$work/all"); do
        for object; do
                if nm -u "$object" | awk '{ print $NF }' | sed 's/@.*//' | grep -qx "$name"; then
                        complain "$(basename "$object"): asks for $name"
                fi
        done
done

for object; do
        base=$(basename "$object")
        case $base in
        config*.o) ;;
        *)
                for name in $(nm -u "$object" | awk '{ sub(/@.*/, "", $NF); print $NF }' | grep -Fx -f "$work/allocators" || true); do
                        complain "$base: allocates, by $name"
                done
                ;;
        esac
        readelf -SW "$object" > "$work/sections"
        sed -n 's/^ *\[ *[0-9]*\] //p' "$work/sections" |
                awk '($1 ~ /^\.(data|bss|tdata|tbss)(\.|$)/) && $1 !~ /^\.data\.rel\.ro/ && $5 !~ /^0*$/ { print $1, $5 }' \
                > "$work/state"
        while read -r section size; do
                complain "$base: has state: $section of 0x$size bytes: $(nm "$object" | awk '$2 ~ /^[bBdDC]$/ { printf "%s ", $3 }')"
        done < "$work/state"
        for name in $(nm "$object" | awk '$(NF - 1) == "C" { print $NF }'); do
                complain "$base: has state: $name"
        done
done

# What a source may include.
headers='assert ctype errno fnmatch inttypes limits signal stdarg stdbool stddef stdint stdio stdlib string strings sys/types unistd ini'
grep -Hn '^[[:space:]]*#[[:space:]]*include' "$top"/daemon/think/*.[ch] | while IFS= read -r line; do
        name=$(printf '%s\n' "$line" | sed 's/.*include[[:space:]]*["<]\([^">]*\)[">].*/\1/')
        case $name in
        think/*.h)
                [ -e "$top/daemon/$name" ] || echo "$line: not there"
                ;;
        *)
                for header in $headers; do
                        [ "$name" != "$header.h" ] || continue 2
                done
                echo "$line: outside think/"
                ;;
        esac
done > "$work/included"
if [ -s "$work/included" ]; then
        cat "$work/included" >&2
        failed=1
fi

exit $failed

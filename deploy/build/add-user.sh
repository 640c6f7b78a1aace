#!/bin/sh
# Add the unprivileged user that serves, and the folders that are its own.
#
#   add-user.sh ROOT NAME UID
#
# ROOT is the root of the file system to change ("/" in an image). The lines are written by hand,
# since useradd is not in every base image and cannot be tried in a folder.
set -eu

root=${1%/}
name=$2
uid=$3

printf '%s:x:%s:%s::/home/%s:/usr/sbin/nologin\n' "$name" "$uid" "$uid" "$name" >>"$root/etc/passwd"
printf '%s:x:%s:\n' "$name" "$uid" >>"$root/etc/group"
for folder in "$root/home/$name" "$root/store"; do
    mkdir -p "$folder"
    chown "$uid:$uid" "$folder"
done

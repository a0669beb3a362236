# SPDX-License-Identifier: LGPL-2.1-or-later
"""bus_relay.py PATH: a socket at PATH behind which the system bus is; when this ends, so does every connection."""

import os
import socket
import sys
import threading


def copy(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen()
while True:
    client, _ = listener.accept()
    bus = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bus.connect("/run/dbus/system_bus_socket")
    for pair in ((client, bus), (bus, client)):
        threading.Thread(target=copy, args=pair, daemon=True).start()

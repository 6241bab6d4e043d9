"""The test bed from the command line, for molecule's create and destroy: `python -m testbed up|down|authority …`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import authority, engine, hosts, inventory, neighbours, registry, registry_image, source
from .shell import TestbedError, fail

ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    parser = argparse.ArgumentParser(prog="testbed", description=__doc__)
    parser.add_argument("verb", choices=["up", "down", "reboot", "publish", "authority"])
    parser.add_argument("--version", default="1.0.0", help="with publish: the version that the sources say they are")
    parser.add_argument("--name", required=True, help="name of the bed, such as molecule-default")
    parser.add_argument("--host-kind", default="bare", choices=["bare", "docker"], help="what is on the hosts already")
    parser.add_argument("--hosts", nargs="*", default=[], help="names of the hosts")
    parser.add_argument("--probers", action="store_true", help="with a private network too, and a prober on each")
    parser.add_argument("--names", nargs="*", default=[], help="with authority: names of sites on the first host")
    parser.add_argument("--valid", type=int, default=7_776_000, help="with authority: seconds for which it certifies")
    parser.add_argument("--inventory", type=Path, help="folder in which to write how the hosts are reached")
    arguments = parser.parse_args()
    bed = hosts.Bed(arguments.name, ROOT / ".cache" / "testbed" / arguments.name, "molecule", arguments.host_kind)
    try:
        if arguments.verb == "up":
            engine.install_tools()
            engine.start()
            registry_image.prepare(bed.host_kind)
            hosts.up(bed, arguments.hosts)
            registry.up(bed)
            if arguments.probers:
                neighbours.up(bed, arguments.hosts)
            inventory.write(bed, arguments.inventory, arguments.hosts, hosts_file="testbed.yml")
        elif arguments.verb == "reboot":
            for host in arguments.hosts:
                hosts.reboot(bed, host)
        elif arguments.verb == "authority":
            names = dict.fromkeys(arguments.names, hosts.address_of(bed, arguments.hosts[0]))
            authority.up(bed, names, valid_seconds=arguments.valid, ocsp=True)
        elif arguments.verb == "publish":
            print(source.publish(bed, arguments.version))
        elif engine.is_running():
            registry.distrust(bed)
            hosts.down(bed)
            if arguments.inventory:
                inventory.remove(arguments.inventory, hosts_file="testbed.yml")
    except TestbedError as error:
        fail(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Unpacks the PyPI wheel of `milvus` into the layout of the upstream image: unpack.py WHEEL FOLDER."""
import lzma
import os
import re
import sys
import zipfile

# Values for the holes of the wheel's configuration template: upstream's ports and folders.
DEFAULTS = {
    "etcd_data_dir": "/var/lib/milvus/etcd", "local_storage_dir": "/var/lib/milvus/data",
    "rocksmq_data_dir": "/var/lib/milvus/rdb_data", "rocketmq_data_dir": "/var/lib/milvus/rdb_data",
    "system_log_path": "", "etcd_log_path": "stdout", "log_stdout": "true",
    "root_coord_port": "53100", "query_coord_port": "19531", "query_node_port": "21123", "index_coord_port": "31000",
    "index_node_port": "21121", "data_coord_port": "13333", "data_node_port": "21124",
}


def value(match):
    """`{{ name(type): default }}` becomes our value, or the template's default."""
    name, _, default = match.group(1).partition(":")
    return DEFAULTS.get(name.split("(")[0].strip(), default.strip())


def main(wheel, out):
    for folder in ("bin", "lib", "configs"):
        os.makedirs(f"{out}/{folder}", exist_ok=True)
    archive = zipfile.ZipFile(wheel)
    for entry in archive.namelist():
        base = os.path.basename(entry)
        if base.endswith(".lzma"):
            base = base.removesuffix(".lzma")
            path = f"{out}/bin/milvus-server" if base == "milvus" else f"{out}/lib/{base}"
            with archive.open(entry) as packed, lzma.open(packed) as data, open(path, "wb") as f:
                while chunk := data.read(1 << 20):
                    f.write(chunk)
            os.chmod(path, 0o755)
        elif base == "config.yaml.template":
            text = re.sub(r"\{\{(.*?)\}\}", value, archive.read(entry).decode())
            # Upstream's defaults, where the wheel's are those of an embedded server.
            text = text.replace("embed: true", "embed: false").replace("type: rocksmq", "type: default")
            text = text.replace("storageType: local", "storageType: remote")
            with open(f"{out}/configs/milvus.yaml", "w", encoding="utf-8") as f:
                f.write(text)
        elif base == "glog.conf":
            with open(f"{out}/configs/glog.conf", "wb") as f:
                f.write(archive.read(entry))


main(sys.argv[1], sys.argv[2])

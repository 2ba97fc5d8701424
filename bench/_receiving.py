"""The server as it is, but nothing is processed: `python -m bench._receiving PORT FOLDER`, until SIGTERM."""

import sys
from pathlib import Path

import uvicorn

from longtake.runtime import Runtime
from longtake.server.app import create_app
from longtake.settings import Settings


def main(port: int, folder: Path) -> None:
    """Serve from a folder."""
    settings = Settings.model_validate({"data": folder, "port": port, "engine": "none"})
    with Runtime.open(settings, with_engine=False) as runtime:
        uvicorn.run(
            create_app(runtime), port=port, http="httptools", access_log=False, log_level="error", proxy_headers=False
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

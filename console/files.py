"""Files that workers sent, opened for looking and listening, or to be saved; never kept in the clear."""

from __future__ import annotations

import io

from flask import Response, current_app, request, send_file

from bot import filetypes
from bot.cases import files
from bot.clock import wall_time
from bot.privacy import access
from bot.service import Service
from console.session import staff


def show(file_id: str) -> Response:
    """One file, in whole or in the range asked for. Each opening is noted first.

    What a browser can show or play safely is shown, a picture without what its camera wrote into it.
    Anything else, and whatever is asked for with ``?save=1``, is a download of the original.
    """
    service: Service = current_app.extensions["voiceback"]
    saving = "save" in request.args
    with service.database.read() as connection:
        file = files.opened(connection, service.sealer, file_id)
    with service.database.write() as connection:
        action = "save_file" if saving else "open_file"
        access.record(connection, staff().id, action, "attachment", file_id, wall_time())
    if saving or file.content_type not in filetypes.SHOWN:
        name = f"{file_id}.{filetypes.ending(file.content_type)}"
        content = io.BytesIO(file.content)
        return send_file(content, mimetype=filetypes.UNKNOWN, as_attachment=True, download_name=name)
    return send_file(io.BytesIO(file.to_show()), mimetype=file.content_type, conditional=True)

"""Send events to a stream without waiting for it: batched, compressed, accounted for to the last one.

with Producer("rivermill-events") as producer:
    producer.send({"event": "search", ...})
print(producer.report)
"""

from clients.producer.journal import DirectoryInUse
from clients.producer.producer import Producer
from clients.producer.report import Refused, Report

__all__ = ["DirectoryInUse", "Producer", "Refused", "Report"]

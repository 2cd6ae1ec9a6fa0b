// Statistics of a peer connection in OpenTok's shape.

interface Numbers {
  [name: string]: number;
}

/** What one leg sent or received. */
export interface MediaStats {
  readonly audio?: Numbers;
  readonly video?: Numbers;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

const FIELDS: Record<string, readonly (readonly [ours: string, theirs: string])[]> = {
  "inbound-rtp": [
    ["bytesReceived", "bytesReceived"],
    ["packetsReceived", "packetsReceived"],
    ["packetsLost", "packetsLost"],
    ["frameRate", "framesPerSecond"],
    ["framesDecoded", "framesDecoded"],
  ],
  "outbound-rtp": [
    ["bytesSent", "bytesSent"],
    ["packetsSent", "packetsSent"],
    ["frameRate", "framesPerSecond"],
  ],
};

/** Sums up all flows of each kind; layers of one simulcast video count together. */
export function mediaStats(report: RTCStatsReport): MediaStats {
  const stats: { audio?: Numbers; video?: Numbers; timestamp: number } = { timestamp: Date.now() };
  report.forEach((entry: Record<string, unknown> & { type: string; kind?: string }) => {
    const fields = FIELDS[entry.type];
    if (!fields || (entry.kind !== "audio" && entry.kind !== "video")) return;
    const numbers = (stats[entry.kind] ??= entry.type === "outbound-rtp" ? { packetsLost: 0 } : {});
    for (const [ours, theirs] of fields) {
      const value = entry[theirs];
      if (typeof value !== "number") continue;
      numbers[ours] = ours === "frameRate" ? Math.max(numbers[ours] ?? 0, value) : (numbers[ours] ?? 0) + value;
    }
  });
  report.forEach((entry: { type: string; kind?: string; packetsLost?: number }) => {
    if (entry.type !== "remote-inbound-rtp" || (entry.kind !== "audio" && entry.kind !== "video")) return;
    const numbers = stats[entry.kind];
    if (numbers) numbers.packetsLost = (numbers.packetsLost ?? 0) + (entry.packetsLost ?? 0);
  });
  return stats;
}

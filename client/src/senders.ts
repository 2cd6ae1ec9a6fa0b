// The sending side of a peer connection: encodings, codecs, pausing.

export interface Sending {
  readonly sendVideo: boolean;
  /** Several resolutions of the video, told apart by RID. */
  readonly simulcast: boolean;
  /** Codec names that must not be offered, lower case. */
  readonly excludedCodecs: readonly string[];
}

/** Adds what is captured to a fresh connection: audio first, as every OpenTok client does. */
export function addTracks(connection: RTCPeerConnection, media: MediaStream, sending: Sending): void {
  for (const track of media.getAudioTracks()) {
    connection.addTransceiver(track, { direction: "sendonly", streams: [media] });
  }
  for (const track of media.getVideoTracks()) {
    const transceiver = connection.addTransceiver(track, {
      direction: "sendonly",
      streams: [media],
      sendEncodings: sending.simulcast ? layers(track, sending.sendVideo) : [{ active: sending.sendVideo }],
    });
    exclude(transceiver, sending.excludedCodecs);
  }
}

/** Starts or stops sending video; a stopped one costs no bandwidth. */
export function setVideoSending(connection: RTCPeerConnection, on: boolean): void {
  for (const sender of connection.getSenders()) {
    if (sender.track?.kind !== "video") continue;
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) encoding.active = on;
    // Fails only on a connection that is being closed, where there is nothing left to stop.
    sender.setParameters(parameters).catch(() => undefined);
  }
}

/** Three layers above 640×480, else two: what OpenTok clients send. Full, half, quarter. */
function layers(track: MediaStreamTrack, active: boolean): RTCRtpEncodingParameters[] {
  const { width = 640, height = 480 } = track.getSettings();
  const full = { rid: "f", active };
  const half = { rid: "h", active, scaleResolutionDownBy: 2 };
  const quarter = { rid: "q", active, scaleResolutionDownBy: 4 };
  return width > 640 && height > 480 ? [full, half, quarter] : [full, half];
}

function exclude(transceiver: RTCRtpTransceiver, names: readonly string[]): void {
  if (names.length === 0 || !transceiver.setCodecPreferences) return;
  const all = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
  transceiver.setCodecPreferences(
    all.filter(({ mimeType }) => !names.includes(mimeType.toLowerCase().replace("video/", ""))),
  );
}

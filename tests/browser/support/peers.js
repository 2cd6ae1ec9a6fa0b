// Keeps every peer connection, so that a test can see which way media goes. Where a page lacks a
// codec (`lackedCodec`), an offer of video in nothing else is refused, as Safari does.
globalThis.peers = [];
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) {
    super(...args);
    peers.push(this);
  }

  setRemoteDescription(description) {
    const video = description.sdp.split("\r\nm=").find((section) => /^video [^0]/.test(section));
    const codecs = [...(video ?? "").matchAll(/a=rtpmap:\d+ (\w+)/g)].map(([, name]) => name);
    const media = codecs.filter((name) => name !== "rtx");
    if (media.length > 0 && media.every((name) => name === globalThis.lackedCodec)) {
      return Promise.reject(new TypeError(`no decoder for ${globalThis.lackedCodec}`));
    }
    return super.setRemoteDescription(description);
  }
};

// Keeps every peer connection, so that a test can see which way media goes.
globalThis.peers = [];
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) {
    super(...args);
    peers.push(this);
  }
};

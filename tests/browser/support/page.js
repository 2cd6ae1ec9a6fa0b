// Runs in the page: an application as any OpenTok tutorial would write it, with a log of what
// the client told it.

/** Everything the client told the application, in order. */
const events = [];
const streams = new Map();
const connections = new Map();
const subscribers = new Map();
let session;
let publisher;

const note = (type, detail = {}) => events.push({ type, ...detail });
const settle = (run) =>
  new Promise((resolve) =>
    run((error) => resolve(error ? { name: error.name, code: error.code, message: error.message } : null)),
  );
const settled = (promise) =>
  promise.then(
    () => null,
    (error) => ({ name: error.name, code: error.code, message: error.message }),
  );
const place = () => document.body.appendChild(document.createElement("div"));
const plain = (value) => {
  if (value === undefined || value === null) return null;
  return typeof value === "object" ? JSON.parse(JSON.stringify(value)) : value;
};

const app = {
  events,

  init(apiKey, sessionId, proxyUrl, options) {
    if (proxyUrl) OT.setProxyUrl(proxyUrl);
    session = OT.initSession(apiKey, sessionId, options);
    session.on({
      connectionCreated: ({ connection }) => {
        connections.set(connection.connectionId, connection);
        note("connectionCreated", { id: connection.connectionId, data: connection.data });
      },
      connectionDestroyed: ({ connection, reason }) =>
        note("connectionDestroyed", { id: connection.connectionId, reason }),
      streamCreated: ({ stream }) => {
        streams.set(stream.streamId, stream);
        note("streamCreated", { id: stream.streamId, name: stream.name, hasAudio: stream.hasAudio, hasVideo: stream.hasVideo });
      },
      streamDestroyed: ({ stream, reason }) => note("streamDestroyed", { id: stream.streamId, reason }),
      streamPropertyChanged: ({ stream, changedProperty, oldValue, newValue }) =>
        note("streamPropertyChanged", {
          id: stream.streamId,
          property: changedProperty,
          from: plain(oldValue),
          to: plain(newValue),
        }),
      sessionConnected: () => note("sessionConnected"),
      sessionDisconnected: ({ reason }) => note("sessionDisconnected", { reason }),
      muteForced: ({ active }) => note("session:muteForced", { active }),
      sessionReconnecting: () => note("sessionReconnecting"),
      sessionReconnected: () => note("sessionReconnected"),
      signal: ({ type, data, from }) =>
        note("signal", { signal: type, data: plain(data), from: from && from.connectionId }),
    });
  },

  connect: (token) => settle((done) => session.connect(token, done)),
  disconnect: () => session.disconnect(),
  connectionId: () => session.connection && session.connection.connectionId,

  publish(properties = {}) {
    publisher = OT.initPublisher(place(), { width: 320, height: 240, ...properties });
    publisher.on("streamDestroyed", ({ reason }) => note("publisherStreamDestroyed", { reason }));
    publisher.on("muteForced", () => note("publisher:muteForced"));
    return settle((done) => session.publish(publisher, done));
  },
  /** Publishes a tone on the left channel, or silence, without video. */
  publishTone({ silent, ...properties }) {
    const context = new AudioContext();
    const sink = context.createMediaStreamDestination();
    sink.channelCount = 2;
    const sides = context.createChannelMerger(2);
    const tone = context.createOscillator();
    const volume = context.createGain();
    volume.gain.value = silent ? 0 : 0.5;
    tone.connect(volume).connect(sides, 0, 0);
    sides.connect(sink);
    tone.start();
    const [audioSource] = sink.stream.getAudioTracks();
    const plainSound = { disableAudioProcessing: true, echoCancellation: false };
    return app.publish({ ...plainSound, audioSource, videoSource: null, ...properties });
  },
  /** Adds a tone to what is published: the client has to negotiate again. */
  addTone() {
    const context = new AudioContext();
    const sink = context.createMediaStreamDestination();
    const tone = context.createOscillator();
    tone.connect(sink);
    tone.start();
    const sending = peers.find((peer) => peer.connectionState === "connected");
    sending.addTrack(sink.stream.getAudioTracks()[0], sink.stream);
  },
  /** Takes the sound out of what is published. */
  removeSound() {
    const sending = peers.find((peer) => peer.connectionState === "connected");
    sending.removeTrack(sending.getSenders().find(({ track }) => track?.kind === "audio"));
  },
  /** Publishes video in one codec only from now on. */
  changeCodec(name) {
    const sends = ({ sender }) => sender.track?.kind === "video";
    const sending = peers.find((peer) => peer.connectionState === "connected");
    const { codecs } = RTCRtpSender.getCapabilities("video");
    const wanted = codecs.filter(({ mimeType }) => [`video/${name}`, "video/rtx"].includes(mimeType));
    sending.getTransceivers().find(sends).setCodecPreferences(wanted);
    // Which makes the client negotiate.
    sending.restartIce();
  },
  /** Publishes a picture that is drawn, as screen shares are. */
  publishDrawing(properties) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 640, height: 360 });
    const context = canvas.getContext("2d");
    let frame = 0;
    setInterval(() => {
      context.fillStyle = `hsl(${(frame += 7) % 360} 80% 60%)`;
      context.fillRect(0, 0, 640, 360);
    }, 50);
    const [videoSource] = canvas.captureStream(15).getVideoTracks();
    return app.publish({ videoSource, audioSource: null, ...properties });
  },
  /** Publishes a picture of 1280x720 of which a part is noise, which takes many bits to send. */
  publishNoise(properties) {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
    const noise = new OffscreenCanvas(40, 22);
    const [to, from] = [canvas, noise].map((each) => each.getContext("2d"));
    const pixels = from.createImageData(40, 22);
    const words = new Uint32Array(pixels.data.buffer);
    to.fillStyle = "teal";
    to.fillRect(0, 0, 1280, 720);
    const draw = () => {
      for (let i = 0; i < words.length; i += 1) words[i] = 0xff000000 | (Math.random() * 0x1000000);
      from.putImageData(pixels, 0, 0);
      to.drawImage(noise, 0, 0, 480, 264);
    };
    draw();
    setInterval(draw, 66);
    const [videoSource] = canvas.captureStream(15).getVideoTracks();
    return app.publish({ videoSource, ...properties });
  },
  /** Restarts ICE on every peer connection, as the client does after a change of network. */
  restartIce() {
    for (const peer of peers) if (peer.connectionState === "connected") peer.restartIce();
  },
  /** Lets one subscriber restart ICE, as the client does when its network has gone. */
  restartSubscriber: (streamId) => subscribers.get(streamId).subscriber._.iceRestart("test", true),
  unpublish: () => session.unpublish(publisher),
  streamId: () => publisher.stream && publisher.stream.streamId,
  publishAudio: (on) => publisher.publishAudio(on),
  publishVideo: (on) => publisher.publishVideo(on),

  async subscribe(streamId, properties = {}) {
    const element = place();
    let subscriber;
    const error = await settle((done) => {
      subscriber = session.subscribe(streams.get(streamId), element, { width: 320, height: 240, ...properties }, done);
      for (const type of ["videoEnabled", "videoDisabled"]) {
        subscriber.on(type, ({ reason }) => note(type, { id: streamId, reason }));
      }
      for (const type of ["videoDisableWarning", "videoDisableWarningLifted"]) {
        subscriber.on(type, () => note(type, { id: streamId }));
      }
      for (const type of ["connected", "disconnected", "destroyed"]) {
        subscriber.on(type, () => note(`subscriber:${type}`, { id: streamId }));
      }
    });
    if (!error) subscribers.set(streamId, { subscriber, element });
    return error;
  },
  unsubscribe(streamId) {
    session.unsubscribe(subscribers.get(streamId).subscriber);
    subscribers.delete(streamId);
  },
  setPreferredResolution: (streamId, resolution) =>
    subscribers.get(streamId).subscriber.setPreferredResolution(resolution),
  setPreferredFrameRate: (streamId, rate) => subscribers.get(streamId).subscriber.setPreferredFrameRate(rate),
  subscribeToVideo: (streamId, on) => subscribers.get(streamId).subscriber.subscribeToVideo(on),

  /** What a subscriber has received so far; `picture` is a hash of what it shows now. */
  async received(streamId) {
    const { subscriber, element } = subscribers.get(streamId);
    const { audio, video: seen } = await inbound(subscriber);
    const video = element.querySelector("video") ?? document.getElementById(subscriber.id).querySelector("video");
    return {
      audioPackets: audio?.packetsReceived ?? 0,
      audioLost: audio?.packetsLost ?? 0,
      audioEnergy: audio?.totalAudioEnergy ?? 0,
      videoPackets: seen?.packetsReceived ?? 0,
      frames: seen?.framesDecoded ?? 0,
      width: video ? video.videoWidth : 0,
      picture: video && video.videoWidth ? picture(video) : null,
    };
  },

  /** Begins to look at the times between the frames of a subscriber. */
  watch(streamId) {
    const watched = subscribers.get(streamId);
    const { subscriber, element } = watched;
    const video = element.querySelector("video") ?? document.getElementById(subscriber.id).querySelector("video");
    Object.assign(watched, { freeze: 0, last: performance.now() });
    const seen = (now) => {
      watched.freeze = Math.max(watched.freeze, now - watched.last);
      watched.last = now;
      video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
  },
  /** The longest of them, in seconds. */
  longestFreeze(streamId) {
    const { freeze, last } = subscribers.get(streamId);
    return Math.max(freeze, performance.now() - last) / 1000;
  },

  /** All that a subscriber's statistics say about what arrives, as `{audio, video}`. */
  inbound: async (streamId) => plain(await inbound(subscribers.get(streamId).subscriber)),

  /** What the statistics say about each size of video that is sent, with the receiver's `report`. */
  async sentVideo() {
    const reports = await Promise.all(peers.map((peer) => peer.getStats()));
    return reports.flatMap((stats) =>
      [...stats.values()]
        .filter(({ type, kind }) => type === "outbound-rtp" && kind === "video")
        .map((sent) => ({ ...plain(sent), report: plain(stats.get(sent.remoteId)) })),
    );
  },

  /** The ways that media takes, one for each connected peer connection: both its candidates. */
  async paths() {
    const connected = peers.filter(({ connectionState }) => connectionState === "connected");
    const reports = await Promise.all(connected.map((peer) => peer.getStats()));
    return reports.flatMap((report) => {
      const all = [...report.values()];
      // Chromium names the pair in use in its transport, Firefox in the pair.
      const ids = all.map(({ selectedCandidatePairId, selected, id }) => selectedCandidatePairId ?? (selected && id));
      return [...new Set(ids.filter(Boolean))].map((id) => {
        const { localCandidateId, remoteCandidateId } = report.get(id);
        return { local: plain(report.get(localCandidateId)), remote: plain(report.get(remoteCandidateId)) };
      });
    });
  },

  /** Packets of audio that arrive on any peer connection. */
  async audioPackets() {
    const reports = await Promise.all(peers.map((peer) => peer.getStats()));
    const inbound = reports.flatMap((report) => [...report.values()]);
    const audio = inbound.filter(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
    return audio.reduce((sum, { packetsReceived }) => sum + packetsReceived, 0);
  },

  /** The ICE user fragments and DTLS certificates of all connected peer connections. */
  transports: () =>
    peers
      .filter(({ connectionState }) => connectionState === "connected")
      .map(({ remoteDescription: { sdp } }) => ({
        ufrag: sdp.match(/a=ice-ufrag:(.*)/)[1],
        fingerprint: sdp.match(/a=fingerprint:(.*)/)[1],
      })),

  /** The states of all peer connections that are not closed. */
  peerStates: () => peers.map(({ connectionState }) => connectionState).filter((state) => state !== "closed"),

  /** How many encodings of video this page sends at most. */
  async videoLayers() {
    const senders = peers.flatMap((peer) => peer.getSenders());
    return Math.max(...senders.filter(({ track }) => track?.kind === "video").map((sender) => sender.getParameters().encodings.length));
  },

  /** What this page sends of each encoding of video, by its rid. */
  async sending() {
    const reports = await Promise.all(peers.map((peer) => peer.getStats()));
    const all = reports.flatMap((report) => [...report.values()]);
    const video = all.filter(({ type, kind }) => type === "outbound-rtp" && kind === "video");
    return video.map(({ rid, active, bytesSent, scalabilityMode }) => ({
      rid,
      active,
      bytesSent,
      scalabilityMode,
    }));
  },

  /** Asks for layers of one stream, where the codec has them. */
  scale(mode) {
    return publisher.setTargetScalabilityMode(mode);
  },

  /** How loud each channel of a subscriber is now: root mean square of its samples. */
  async loudness(streamId) {
    const { subscriber, element } = subscribers.get(streamId);
    const media = element.querySelector("video, audio") ?? document.getElementById(subscriber.id).querySelector("video, audio");
    const context = new AudioContext();
    const source = context.createMediaStreamSource(new MediaStream(media.srcObject.getAudioTracks()));
    const sides = context.createChannelSplitter(2);
    source.connect(sides);
    const [left, right] = [0, 1].map((side) => {
      const analyser = context.createAnalyser();
      sides.connect(analyser, side);
      return analyser;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const loudness = (analyser) => {
      const samples = new Float32Array(analyser.fftSize);
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    };
    const heard = { left: loudness(left), right: loudness(right) };
    await context.close();
    return heard;
  },

  /** The codecs of all video that arrives, such as `video/VP8`. */
  async videoCodecs() {
    const reports = await Promise.all(peers.map((peer) => peer.getStats()));
    return reports.flatMap((report) =>
      [...report.values()]
        .filter(({ type, kind, codecId }) => type === "inbound-rtp" && kind === "video" && codecId)
        .map(({ codecId }) => report.get(codecId).mimeType),
    );
  },

  // The client refuses a `to` that is there but undefined.
  signal: ({ to, ...message }) =>
    settle((done) => session.signal(to ? { ...message, to: connections.get(to) } : message, done)),
  isMuted: () => !publisher.stream.hasAudio,
  forceMuteStream: (id) => settled(session.forceMuteStream(streams.get(id))),
  forceMuteAll: (excluded = []) =>
    settled(session.forceMuteAll(excluded.map((id) => streams.get(id)))),
  disableForceMute: () => settled(session.disableForceMute()),
  forceDisconnect: (id) => settle((done) => session.forceDisconnect(connections.get(id), done)),
  forceUnpublish: (id) => settle((done) => session.forceUnpublish(streams.get(id), done)),
};

/** What a subscriber's peer connection has received, as `{audio, video}` of `inbound-rtp`. */
async function inbound(subscriber) {
  const report = await subscriber.getRtcStatsReport();
  const streams = [...report.values()].filter(({ type }) => type === "inbound-rtp");
  return Object.fromEntries(streams.map((stream) => [stream.kind, stream]));
}

/** A small hash of the frame on show, and how much of it is not black. */
function picture(video) {
  const canvas = new OffscreenCanvas(32, 24);
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 32, 24);
  const { data } = context.getImageData(0, 0, 32, 24);
  let hash = 0;
  let lit = 0;
  for (let i = 0; i < data.length; i += 4) {
    hash = (hash * 31 + data[i] + 256 * data[i + 1] + 65536 * data[i + 2]) | 0;
    if (data[i] + data[i + 1] + data[i + 2] > 60) lit += 1;
  }
  return { hash, lit };
}

globalThis.app = app;

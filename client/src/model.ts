// Who and what is in a session, as applications see it.

import type { ChannelRecord, ConnectionRecord, Json, StreamRecord } from "./messages.js";
import { number } from "./messages.js";

/** One client in the session. */
export class Connection {
  readonly connectionId: string;
  readonly creationTime: number;
  /** Connection data of the token. */
  readonly data: string;
  /** What this client may do, in the server's words. */
  readonly permissions: readonly string[];

  constructor(record: ConnectionRecord) {
    this.connectionId = record.id;
    this.creationTime = record.creationTime;
    this.data = record.data;
    this.permissions = record.permissions;
  }

  get id(): string {
    return this.connectionId;
  }
}

/** Width and height in pixels. */
export interface Dimensions {
  readonly width: number;
  readonly height: number;
}

/** One property of a stream that changed. */
export interface Change {
  readonly changedProperty: string;
  readonly oldValue: unknown;
  readonly newValue: unknown;
}

/** What a publisher publishes. */
export class Stream {
  readonly streamId: string;
  readonly connection: Connection;
  readonly creationTime: number;
  readonly initials: string | undefined;
  name: string;
  hasAudio = false;
  hasVideo = false;
  hasCaptions = false;
  /** `camera`, `screen` or `custom`; undefined without video. */
  videoType: string | undefined;
  videoDimensions: Dimensions = { width: 0, height: 0 };
  frameRate: number | undefined;

  constructor(record: StreamRecord, connection: Connection) {
    this.streamId = record.id;
    this.connection = connection;
    this.creationTime = record.creationTime;
    this.name = record.name;
    const { initials } = record.customProperties;
    this.initials = typeof initials === "string" ? initials : undefined;
    for (const channel of record.channels) this.#take(channel);
  }

  get id(): string {
    return this.streamId;
  }

  /** Applies a channel `updated` event and says what really changed. */
  updateChannel(channel: string, content: Json): Change[] {
    const changes: Change[] = [];
    const set = <K extends "hasAudio" | "hasVideo" | "hasCaptions" | "videoType" | "frameRate">(
      property: K,
      newValue: Stream[K],
    ) => {
      const oldValue = this[property];
      if (oldValue === newValue) return;
      (this as Pick<Stream, K>)[property] = newValue;
      changes.push({ changedProperty: property, oldValue, newValue });
    };
    if (typeof content.active === "boolean") {
      if (channel.startsWith("audio")) set("hasAudio", content.active);
      if (channel.startsWith("video")) set("hasVideo", content.active);
      if (channel.startsWith("caption")) set("hasCaptions", content.active);
    }
    if (channel.startsWith("video")) {
      if (typeof content.source === "string") set("videoType", content.source);
      const rate = number(content.frameRate);
      if (rate !== undefined) set("frameRate", rate);
      const oldValue = this.videoDimensions;
      const newValue = {
        width: number(content.width) ?? oldValue.width,
        height: number(content.height) ?? oldValue.height,
      };
      if (newValue.width !== oldValue.width || newValue.height !== oldValue.height) {
        this.videoDimensions = newValue;
        changes.push({ changedProperty: "videoDimensions", oldValue, newValue });
      }
    }
    return changes;
  }

  /** Applies a stream `updated` event. */
  rename(name: string): Change[] {
    if (name === this.name) return [];
    const change = { changedProperty: "name", oldValue: this.name, newValue: name };
    this.name = name;
    return [change];
  }

  #take({ id, active, width, height, frameRate, source }: ChannelRecord): void {
    if (id.startsWith("audio")) this.hasAudio = active;
    if (id.startsWith("caption")) this.hasCaptions = active;
    if (!id.startsWith("video")) return;
    this.hasVideo = active;
    this.videoType = source;
    this.videoDimensions = { width, height };
    this.frameRate = frameRate;
  }
}

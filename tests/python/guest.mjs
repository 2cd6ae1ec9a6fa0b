// A client for tests in Python: joins, publishes, and writes what it hears as lines of JSON until its input ends.
//
//   node guest.mjs '{"url", "api_key", "session", "token"}'

import { Participant } from "../node/participant.mjs";

const { session, token, ...parlor } = JSON.parse(process.argv[2]);
const say = (line) => console.log(JSON.stringify(line));

const participant = await Participant.join(parlor, session, token);
say({ id: participant.id, stream: await participant.publish("cam"), state: participant.state });
participant.events.push = function (event) {
  say(event);
  return Array.prototype.push.call(this, event);
};
participant.events.splice(0).forEach((event) => participant.events.push(event));

process.stdin.resume().on("end", () => {
  participant.leave();
  process.exit(0);
});

// The page: begins when it is told to, shows what is tried, and says what it means.

import { setProxyUrl } from "../src/bootstrap.js";
import { measure, type Invitation } from "./measure.js";
import { describe, grade, verdict, type Tried } from "./verdict.js";
import { WAYS } from "./ways.js";

/** The picture that travels: enough movement for an estimate of what the network carries. */
const [WIDTH, HEIGHT, FRAMES] = [640, 360, 30];

let knowsServer = false;

async function run(): Promise<void> {
  const invitation = await invite();
  if (!knowsServer) setProxyUrl(invitation.url);
  knowsServer = true;
  const picture = movingPicture();
  const tried: Tried[] = [];
  try {
    for (const way of WAYS) {
      const row = element(way.id);
      row.dataset.state = "trying";
      says(row, "Trying…");
      const result: Tried = { way, outcome: await measure(way, invitation, picture.track) };
      tried.push(result);
      row.dataset.state = result.outcome.kind === "works" ? grade(result.outcome.quality) : result.outcome.kind;
      says(row, describe(result));
    }
  } finally {
    picture.stop();
  }
  const { grade: overall, title, advice } = verdict(tried);
  show(overall, title, advice);
}

async function invite(): Promise<Invitation> {
  const response = await fetch("test/session", { method: "POST" }).catch(() => {
    throw new Error("The server cannot be reached. Are you online?");
  });
  if (response.status === 429) throw new Error("Many people are testing just now. Please try again in two minutes.");
  if (!response.ok) throw new Error(`The server cannot test just now (HTTP ${response.status}). Please try again later.`);
  return (await response.json()) as Invitation;
}

/** A picture of moving bars. */
function movingPicture(): { readonly track: MediaStreamTrack; stop(): void } {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const pen = canvas.getContext("2d");
  let frame = 0;
  const draw = () => {
    frame += 1;
    for (let x = 0; pen && x < WIDTH; x += 20) {
      for (let y = 0; y < HEIGHT; y += 20) {
        pen.fillStyle = `hsl(${(x * y + frame * 7) % 360} 80% ${30 + ((x + y + frame * 3) % 40)}%)`;
        pen.fillRect(x, y, 20, 20);
      }
    }
  };
  draw();
  const timer = setInterval(draw, 1000 / FRAMES);
  const [track] = canvas.captureStream(FRAMES).getVideoTracks();
  if (!track) throw new Error("This browser cannot make a picture to send.");
  return {
    track,
    stop() {
      clearInterval(timer);
      track.stop();
    },
  };
}

function show(overall: string, title: string, advice: string): void {
  const result = element("result");
  result.hidden = false;
  result.dataset.grade = overall;
  element("title").textContent = title;
  element("advice").textContent = advice;
}

function says(row: HTMLElement, text: string): void {
  row.querySelector(".says")!.textContent = text;
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

const list = element("ways");
for (const { id, name } of WAYS) {
  const row = document.createElement("li");
  row.id = id;
  const what = document.createElement("b");
  what.textContent = name;
  const says = document.createElement("span");
  says.className = "says";
  row.append(what, says);
  list.append(row);
}

const button = element("begin") as HTMLButtonElement;
button.addEventListener("click", () => {
  button.disabled = true;
  element("result").hidden = true;
  list.hidden = false;
  for (const { id } of WAYS) {
    element(id).dataset.state = "";
    says(element(id), "");
  }
  run()
    .catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      show("none", "The test could not be made.", why);
    })
    .finally(() => {
      button.disabled = false;
      button.textContent = "Test again";
    });
});

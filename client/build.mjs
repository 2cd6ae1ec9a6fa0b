// Builds dist/ (committed), or with --test the unit tests below build/.
//
// parlor.js is a plain script that defines `OT`, like the file an OpenTok application loads;
// demo.js is such an application, docs.js shows the REST API, test.js is the page on which people
// test their network. All are minified: the readable form is in src/, demo/, docs/ and
// network-test/.

import { copyFile, mkdir, readdir, rm, stat } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const browsers = ["chrome100", "firefox100", "safari15.4"];

if (process.argv.includes("--test")) await tests();
else await dist();

async function tests() {
  await rm("build", { recursive: true, force: true });
  const entryPoints = (await readdir("test"))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `test/${name}`);
  await build({
    entryPoints,
    outdir: "build/test",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    logLevel: "warning",
  });
}

async function dist() {
  await rm("dist", { recursive: true, force: true });
  await mkdir("dist");
  const common = { bundle: true, minify: true, format: "iife", target: browsers, charset: "utf8", logLevel: "warning" };
  await build({ ...common, entryPoints: ["src/global.ts"], outfile: "dist/parlor.js" });
  await build({ ...common, entryPoints: ["demo/demo.ts"], outfile: "dist/demo.js" });
  await build({ ...common, entryPoints: ["docs/docs.ts"], outfile: "dist/docs.js" });
  await build({ ...common, entryPoints: ["network-test/page.ts"], outfile: "dist/test.js" });
  for (const page of ["demo", "docs"]) {
    await build({ entryPoints: [`${page}/${page}.css`], outfile: `dist/${page}.css`, minify: true, target: browsers, charset: "utf8", logLevel: "warning" });
  }
  for (const name of ["demo/index.html", "demo/icon.svg", "docs/docs.html"]) await copyFile(name, `dist/${basename(name)}`);
  await copyFile("network-test/index.html", "dist/test.html");
  for (const name of (await readdir("dist")).sort()) {
    console.log(`dist/${name.padEnd(12)} ${(await stat(`dist/${name}`)).size} bytes`);
  }
}

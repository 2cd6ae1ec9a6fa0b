// Entry of the script file: defines `OT` for pages that load it with a script element.

import * as OT from "./index.js";

(globalThis as { OT?: typeof OT }).OT = OT;

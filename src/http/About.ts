import { Context, type Duration } from "effect"

/** What handlers say about the program it runs in. */
export class About extends Context.Tag("telemetry/http/About")<
  About,
  { readonly version: string; readonly modelDir: string; readonly retention: Duration.Duration }
>() {}

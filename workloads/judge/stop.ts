/** Aborts at SIGTERM and SIGINT, once; a second signal ends the process as it always does. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => controller.abort(new Error(signal)));
  return controller.signal;
}

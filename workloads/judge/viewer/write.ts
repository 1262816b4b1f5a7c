import type { EvaluationData } from '../data.ts';
import type { Report } from '../report.ts';

export type WriteFile = (path: string, content: string | Uint8Array) => Promise<void>;

export async function writeViewer(_data: EvaluationData, _report: Report, _write: WriteFile): Promise<void> {}

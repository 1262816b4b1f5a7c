import type { Table } from './table.ts';
import { T1 } from './table-t1.ts';

export const TABLES: readonly Table[] = [T1];

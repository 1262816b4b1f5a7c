import type { Table } from './table.ts';
import { T6 } from './table-effects.ts';
import { T5 } from './table-fleet.ts';
import { T2, T3, T4 } from './table-multi-pool.ts';
import { T1 } from './table-t1.ts';

export const TABLES: readonly Table[] = [T1, T2, T3, T4, T5, T6];

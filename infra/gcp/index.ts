// What `pulumi up` runs. The outputs of the stack are what is exported here.
import { gcpProgram } from './program.ts';

export const { kubeconfig, bucket, registry, gateway, cost, keptByDestroy } = await gcpProgram();

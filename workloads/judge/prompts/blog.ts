// What the blog post's authors asked GPT-4, word for word: prompt.jsonl of https://github.com/lm-sys/vicuna-blog-eval (Apache-2.0), a copy of
// which is in examples/evaluation; a test compares them.

export const BLOG_SYSTEM = 'You are a helpful and precise assistant for checking the quality of the answer.';
/** As in reviewer.jsonl. */
export const BLOG_TEMPERATURE = 0.2;
export const BLOG_MAX_TOKENS = 1_024;

const GENERAL = `We would like to request your feedback on the performance of two AI assistants in response to the user question displayed above.
Please rate the helpfulness, relevance, accuracy, level of details of their responses. Each assistant receives an overall score on a scale of 1 to 10, where a higher score indicates better overall performance.
Please first output a single line containing only two values indicating the scores for Assistant 1 and 2, respectively. The two scores are separated by a space. In the subsequent line, please provide a comprehensive explanation of your evaluation, avoiding any potential bias and ensuring that the order in which the responses were presented does not affect your judgment.`;

const CODING = `Your task is to evaluate the coding abilities of the above two assistants. They have been asked to implement a program to solve a given problem. Please review their code submissions, paying close attention to their problem-solving approach, code structure, readability, and the inclusion of helpful comments.

Please ensure that the assistants' submissions:

1. Correctly implement the given problem statement.
2. Contain accurate and efficient code.
3. Include clear and concise comments that explain the code's logic and functionality.
4. Adhere to proper coding standards and best practices.

Once you have carefully reviewed both submissions, provide detailed feedback on their strengths and weaknesses, along with any suggestions for improvement. You should first output a single line containing two scores on the scale of 1-10 (1: no code/no sense; 10: perfect) for Assistant 1 and 2, respectively. Then give extra comments starting from the next line.`;

const MATH = `We would like to request your feedback on the mathematical proficiency of two AI assistants regarding the given user question displayed above.
First, please solve the problem independently, without referring to the answers provided by Assistant 1 and Assistant 2.
Afterward, please examine the problem-solving process of Assistant 1 and Assistant 2 step-by-step to ensure their correctness, identifying any incorrect steps if present. Your evaluation should take into account not only the answer but also the problem-solving steps.
Finally, please output a Python tuple containing two numerical scores for Assistant 1 and Assistant 2, ranging from 1 to 10, respectively. If applicable, explain the reasons for any variations in their scores and determine which assistant performed better.`;

/** What is asked about a category: coding and math have their own words. */
export const blogPrompt = (category: string) => (category === 'coding' ? CODING : category === 'math' ? MATH : GENERAL);

/** The user's message to the judge. */
export function blogMessage(category: string, question: string, answer1: string, answer2: string): string {
  return `[Question]
${question}

[The Start of Assistant 1's Answer]
${answer1}

[The End of Assistant 1's Answer]

[The Start of Assistant 2's Answer]
${answer2}

[The End of Assistant 2's Answer]

[System]
${blogPrompt(category)}

`;
}
